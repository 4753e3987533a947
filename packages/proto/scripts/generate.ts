/** Writes everything that is generated: `pnpm --filter @greenroom/proto generate`. A test fails when it is due. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { generated } from './generated.ts'

const at = (path: string): URL => new URL(`../${path}`, import.meta.url)
const files = generated()

for (const folder of ['vectors', 'schemas']) {
  mkdirSync(at(folder), { recursive: true })
  for (const name of readdirSync(at(folder))) if (!files.has(`${folder}/${name}`)) rmSync(at(`${folder}/${name}`))
}
for (const [path, text] of files) writeFileSync(at(path), text)
console.log(`wrote ${files.size} files`)
