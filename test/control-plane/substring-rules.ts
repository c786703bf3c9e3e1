// What control planes read into the text of an agent's error. Case matters exactly as below.

/** A failed InitStoragePool push that counts as success. */
export function countsAsPoolReady(text: string): boolean {
  return text.includes('already') || text.includes('exists')
}

/** ListStoragePoolFiles: the pool is sent again and the call repeated once. */
export function asksForPoolAgain(text: string): boolean {
  return text.includes('not found') || text.includes('NotFound')
}

/** ListStoragePoolFiles: told to the user as a missing precondition. */
export function isPoolPrecondition(text: string): boolean {
  return text.includes('no mount path') || text.includes('failed_precondition')
}

/** StopVM and ForceStopVM: the VM is recorded as stopped. */
export function countsAsStopped(text: string): boolean {
  return ['nodomain', 'Domain not found', 'VM not found'].some((word) => text.includes(word))
}

/** GetVMStatus at a reset of the VM's state: the VM is taken to be absent. */
export function countsAsAbsent(text: string): boolean {
  return countsAsStopped(text) || text.includes('not found')
}

/** Texts that become codes of their own in the user interface: NODE_NOT_FOUND, NODE_UNREACHABLE, VM_NOT_ON_NODE. */
export function isUiTrigger(text: string): boolean {
  const words = ['node not found', 'failed to connect to node daemon', 'Domain not found', 'VM not found']
  return words.some((word) => text.includes(word))
}
