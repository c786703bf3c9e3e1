import { mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { readTextIfPresent, writeFileAtomic } from '../platform/files.ts'
import type { Chap, IscsiTarget } from './iscsi-target.ts'

/** A file of open-iscsi's database with its content, which may hold a secret. */
export interface RecordFile {
  readonly file: string
  readonly text: string
}

/**
 * I/O that waits for a target longer than this (seconds) fails. Guests wait out a restart of the storage as on a hard NFS mount; without any limit, whatever waits
 * could not even be killed before the target is back.
 */
const REPLACEMENT_TIMEOUT_S = 600
/** Seconds of a login attempt, and between pings on an idle connection and for their answer: a silent target is known after 10 s at the latest. */
const LOGIN_TIMEOUT_S = 10
const PING_S = 5

/**
 * Node records of open-iscsi (iscsiadm(8), "node mode"): what it knows of a target, and the only way to give it a secret without an argument. One record per target
 * and portal is the agent's; what was there before is told and comes back later.
 */
export class NodeRecords {
  readonly #etc: string

  /** `etc`: /etc/iscsi. */
  constructor(etc: string) {
    this.#etc = etc
  }

  /** Records of a target at its portal that are there, the agent's included. */
  async present(target: IscsiTarget): Promise<RecordFile[]> {
    const directory = this.#directory(target)
    const prefix = recordName(target)
    // "portal,port" as a file, or "portal,port,group" as a directory with a file per interface.
    const names = (await namesIn(directory)).filter((name) => name === prefix || name.startsWith(`${prefix},`))
    const files = await Promise.all(
      names.map(async (name) => {
        const inner = await namesIn(path.join(directory, name))
        return inner.length === 0 ? [name] : inner.map((file) => `${name}/${file}`)
      }),
    )
    const read = files.flat().map(async (name) => {
      const file = path.join(directory, name)
      const text = await readTextIfPresent(file)
      return text === undefined ? [] : [{ file, text }]
    })
    return (await Promise.all(read)).flat()
  }

  /** The credentials in the agent's own record of a target. */
  async chap(target: IscsiTarget): Promise<Chap | undefined> {
    const mine = (await this.present(target)).find((record) => this.isMine(record, target))
    const [user, password] = ['username', 'password'].map(
      (key) => new RegExp(`^node\\.session\\.auth\\.${key} = (\\S+)$`, 'm').exec(mine?.text ?? '')?.[1],
    )
    return user === undefined || password === undefined ? undefined : { user, password }
  }

  /** Writes the agent's record of a target, and removes every other one at that portal: a login would follow them all. */
  async write(target: IscsiTarget, chap: Chap | undefined): Promise<void> {
    const mine = this.#file(target)
    for (const { file } of await this.present(target)) {
      if (file !== mine) await this.#remove(file)
    }
    await mkdir(path.dirname(mine), { recursive: true, mode: 0o700 })
    const conf = (await readTextIfPresent(path.join(this.#etc, 'iscsid.conf'))) ?? ''
    await writeFileAtomic(mine, recordText(target, chap, conf))
  }

  /** Removes the agent's record with its secret. */
  async remove(target: IscsiTarget): Promise<void> {
    await this.#remove(this.#file(target))
  }

  /** Brings back what `write` removed. */
  async restore(files: readonly RecordFile[]): Promise<void> {
    for (const { file, text } of files) {
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
      await writeFileAtomic(file, text)
    }
  }

  /** True for the agent's own record. */
  isMine({ file, text }: RecordFile, target: IscsiTarget): boolean {
    return file === this.#file(target) && text.startsWith(MARK)
  }

  #directory({ name }: IscsiTarget): string {
    return path.join(this.#etc, 'nodes', name)
  }

  #file(target: IscsiTarget): string {
    return path.join(this.#directory(target), recordName(target))
  }

  async #remove(file: string): Promise<void> {
    await rm(file, { force: true })
    // Directories of the database exist for their records.
    for (let at = path.dirname(file); at !== path.join(this.#etc, 'nodes'); at = path.dirname(at)) {
      if (!(await removedIfEmpty(at))) return
    }
  }
}

const MARK = '# made by limiquantix-node\n'

/** The text of a record: the host's own settings (iscsid.conf), and what a pool needs over them. */
export function recordText({ name, portal }: IscsiTarget, chap: Chap | undefined, conf: string): string {
  const auth =
    chap === undefined ? { authmethod: 'None' } : { authmethod: 'CHAP', username: chap.user, password: chap.password }
  const settings = new Map([...defaults(conf)])
  const mine = {
    'node.name': name,
    'node.tpgt': '-1',
    // The agent logs in when it takes the pool up; a boot that waits for a dead target helps nobody.
    'node.startup': 'manual',
    'node.leading_login': 'No',
    'iface.iscsi_ifacename': 'default',
    'iface.transport_name': 'tcp',
    'node.discovery_type': 'static',
    'node.conn[0].address': portal.host,
    'node.conn[0].port': String(portal.port),
    'node.conn[0].startup': 'manual',
    'node.session.nr_sessions': '1',
    'node.session.scan': 'auto',
    'node.session.initial_login_retry_max': '1',
    'node.session.timeo.replacement_timeout': String(REPLACEMENT_TIMEOUT_S),
    'node.conn[0].timeo.login_timeout': String(LOGIN_TIMEOUT_S),
    'node.conn[0].timeo.noop_out_interval': String(PING_S),
    'node.conn[0].timeo.noop_out_timeout': String(PING_S),
  }
  for (const [key, value] of Object.entries(mine)) settings.set(key, value)
  for (const [key, value] of Object.entries(auth)) settings.set(`node.session.auth.${key}`, value)
  const lines = [...settings].map(([key, value]) => `${key} = ${value}`)
  return `${MARK}# BEGIN RECORD 2.1.8\n${lines.join('\n')}\n# END RECORD\n`
}

// Node settings of iscsid.conf, as iscsiadm would copy them; credentials there are for other targets.
function* defaults(conf: string): Iterable<[string, string]> {
  for (const line of conf.split('\n')) {
    const [, key, value] = /^\s*(node\.[A-Za-z0-9_.[\]]+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (key !== undefined && value !== undefined && !key.startsWith('node.session.auth.')) yield [key, value]
  }
}

function recordName({ portal }: IscsiTarget): string {
  return `${portal.host},${portal.port}`
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

async function removedIfEmpty(directory: string): Promise<boolean> {
  try {
    await rmdir(directory)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false
    if (code === 'ENOENT') return true
    throw error
  }
}
