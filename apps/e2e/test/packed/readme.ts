/** The README's first program, as a reader would paste it. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './registry.ts'

/** Writes every TypeScript block of the README whose first line names a file into the folder. */
export async function pasteReadme(folder: string): Promise<string[]> {
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  const names: string[] = []
  for (const [, block] of readme.matchAll(/```ts\n([\s\S]*?)```/g)) {
    const name = /^\/\/ (\w+\.ts)\b/.exec(block ?? '')?.[1]
    if (name === undefined || block === undefined) continue
    names.push(name)
    await writeFile(join(folder, name), block)
  }
  return names
}
