/** Shares: who counts which files. */
import type { TreeFile } from './tree.ts'

/** What opening a file costs, in bytes that could be counted meanwhile: small files take their time too. */
const PER_FILE = 16 * 1024
/** Into how many parts a share is split: its surveyor's own, and one for each child of it. */
const PARTS = 3
/** How many children a surveyor has that splits its share. */
export const HELPERS = PARTS - 1
/** A share of less work is not worth a process, in the bytes of {@link PER_FILE}. */
const WORTH = 1024 * 1024
/** How long the list of one run may become, in UTF-16 units: at worst six bytes each, and a message may have 8 MiB. */
const LIST = 1024 * 1024

/**
 * Deals files out so that every share is about the same work: the largest first, each to whoever has least.
 *
 * @param files - in a fixed order; the same files make the same shares
 * @param children - how many shares there should be
 * @param list - how long the paths of one share may be together, in UTF-16 units; 1 Mi by default
 * @returns paths, the largest share first: fewer where there are fewer files, more where the lists become too long. None is empty.
 */
export function shareOut(files: readonly TreeFile[], children: number, list: number = LIST): string[][] {
  const shares = Array.from({ length: Math.min(children, files.length) }, () => ({
    work: 0,
    paths: new Array<string>(),
  }))
  for (const file of [...files].sort((a, b) => b.bytes - a.bytes)) {
    const least = shares.reduce((a, b) => (b.work < a.work ? b : a))
    least.work += workOf(file)
    least.paths.push(file.path)
  }
  const inOrder = shares.sort((a, b) => b.work - a.work)
  return inOrder.flatMap(({ paths }) => slices(paths.sort(), list))
}

/**
 * Splits a share: a part for its surveyor, which can begin at once, and one for each of its children.
 *
 * @param files - the share
 * @returns paths, the surveyor's own first; only those when the share is not worth children
 */
export function splitUp(files: readonly TreeFile[]): string[][] {
  const work = files.reduce((total, file) => total + workOf(file), 0)
  return work < WORTH ? [files.map(({ path }) => path)] : shareOut(files, PARTS)
}

const workOf = ({ bytes }: TreeFile): number => bytes + PER_FILE

/** Cuts where a slice would become too long. */
function slices(paths: readonly string[], list: number): string[][] {
  const cut: string[][] = []
  let room = 0
  for (const path of paths) {
    room -= path.length
    const last = cut.at(-1)
    if (last !== undefined && room >= 0) last.push(path)
    else {
      cut.push([path])
      room = list - path.length
    }
  }
  return cut
}
