import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

/** Builds a directory tree of small files (a value `-> target` makes a symbolic link), runs `work` with its root, removes it. */
export async function withTree(
  files: Readonly<Record<string, string>>,
  work: (root: string) => Promise<void>,
): Promise<void> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'lqx-tree-'))
  try {
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(root, name)
      await mkdir(path.dirname(file), { recursive: true })
      if (content.startsWith('-> ')) await symlink(path.join(root, content.slice(3)), file)
      else await writeFile(file, content)
    }
    await work(root)
  } finally {
    await rm(root, { recursive: true })
  }
}
