/**
 * The name for the image inside a file with the name its publisher gave it: endings of compression and archives go, those of formats that are converted become `.qcow2`. An archive that does
 * not tell what is in it gives `.img`. Only names: what is in the file is found out by its content.
 */
export function storedName(published: string): string {
  const plain = published.replace(/\.(gz|xz|zst|bz2)$/i, '')
  const inside = plain.replace(/\.(tar|tgz|txz|tzst|zip)$/i, '')
  const named = inside.replace(/\.(vmdk|vdi|vhdx|vhd|ova)$/i, '.qcow2')
  return inside === plain || /\.(qcow2|img|raw|iso)$/i.test(named) ? named : `${named}.img`
}
