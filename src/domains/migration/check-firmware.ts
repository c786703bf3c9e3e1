import { access } from 'node:fs/promises'
import { quote } from '../../core/ids.ts'
import type { OpContext } from '../../core/context.ts'
import { readHostAbilities, type HostAbilities } from '../host-abilities.ts'
import type { XmlElement } from '../read-xml.ts'
import type { MigrationParts } from './build-offer.ts'
import { isOfLibvirt } from './guest-xml.ts'

/** Why a VM cannot have its firmware and its TPM on this host: everything that libvirt would only find missing when it starts QEMU. Undefined when it can. Errors: LIBVIRT_*. */
export async function firmwareProblem(
  xml: XmlElement,
  { client, deps }: Pick<MigrationParts, 'client' | 'deps'>,
  ctx: OpContext,
): Promise<string | undefined> {
  const os = xml.first('os')
  const hasTpm = xml.first('devices', 'tpm') !== undefined
  const isChosen = os?.attribute('firmware') === 'efi'
  const problems: string[] = []
  if (hasTpm || isChosen) {
    const type = xml.attribute('type') === 'kvm' ? 'kvm' : 'qemu'
    const abilities = await readHostAbilities(client, { type, emulator: deps.config.emulator }, ctx.signal)
    problems.push(...lacking(abilities, { hasTpm, isChosen, isSecure: asksForSecureBoot(xml) }))
  }
  // The template is what libvirt makes the file of variables from, before QEMU fills it with those of the guest.
  for (const file of [os?.first('loader')?.text.trim(), os?.first('nvram')?.attribute('template')]) {
    if (file === undefined || !isOfLibvirt(file) || (await isThere(file))) continue
    problems.push(`the target host does not have its firmware ${quote(file)}: install the package it is of there`)
  }
  return problems.length === 0 ? undefined : problems.join('; ')
}

function lacking(
  { uefi, secureBoot, tpm2 }: HostAbilities,
  { hasTpm, isChosen, isSecure }: { readonly hasTpm: boolean; readonly isChosen: boolean; readonly isSecure: boolean },
): string[] {
  const problems: string[] = []
  if (isChosen && !uefi)
    problems.push('the target host has no UEFI firmware for guests: install the package ovmf there')
  else if (isSecure && !secureBoot)
    problems.push('the target host has no UEFI firmware with Secure Boot: install the package ovmf there')
  if (hasTpm && !tpm2)
    problems.push('the target host has no TPM emulator: install the packages swtpm and swtpm-tools there')
  return problems
}

function asksForSecureBoot(xml: XmlElement): boolean {
  const features = xml.first('os', 'firmware')?.all('feature') ?? []
  return features.some((one) => one.attribute('name') === 'secure-boot' && one.attribute('enabled') === 'yes')
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
