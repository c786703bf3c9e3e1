import type { Rig } from './rig.ts'

/** The rig's NFS server by a second address, so that packets can be lost for the pools of one address alone. */
export interface SecondServer extends AsyncDisposable {
  /** Options of `RigPools.nfs` for a pool by the second address. NFS 3, because later clients notice that both are one server. */
  readonly options: Readonly<Record<string, string>>
  /** Packets to the second address, or to NFS at both, are lost from now on. */
  drop(which: 'second' | 'both'): Promise<void>
  pass(): Promise<void>
}

const ADDRESS = '10.99.0.77'

/** Makes the second address, in the host's own packet filter. Disposing removes it, with mounts by it left dead. */
export async function secondServer(rig: Rig): Promise<SecondServer> {
  const nft = async (rules: string) => void (await rig.exec('nft -f -', { input: rules }))
  await nft(`table ip rig {
    chain nat { type nat hook output priority -100; ip daddr ${ADDRESS} dnat to ${rig.serverAddress}; }
    chain raw { type filter hook output priority -150; }
  }`)
  return {
    options: { server: ADDRESS, version: '3', options: 'nolock' },
    drop: (which) => {
      const both = `add rule ip rig raw ip daddr ${rig.serverAddress} tcp dport 2049 drop\n`
      return nft(`add rule ip rig raw ip daddr ${ADDRESS} drop\n${which === 'both' ? both : ''}`)
    },
    pass: () => nft('flush chain ip rig raw'),
    [Symbol.asyncDispose]: () => nft('delete table ip rig'),
  }
}
