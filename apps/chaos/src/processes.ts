/** What the kernel says about processes. */
import { readdirSync, readFileSync } from 'node:fs'

/** A process as `/proc` shows it. */
export interface ProcessFacts {
  readonly pid: number
  readonly parent: number
  /** When it started, in ticks since the boot: with the id it names one process for ever. */
  readonly stamp: string
  /** Whether it has ended, and only its parent does not know yet. */
  readonly isZombie: boolean
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** One process; undefined when there is none with that id. */
export function factsOf(pid: number): ProcessFacts | undefined {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The name, in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0] ?? ''
  return { pid, parent: Number(fields[1]), stamp: fields[19] ?? '', isZombie: 'ZX'.includes(state) }
}

/** Whether this very process is there and can still do something. */
export function isAlive(pid: number, stamp: string): boolean {
  const facts = factsOf(pid)
  return facts !== undefined && facts.stamp === stamp && !facts.isZombie
}

/** Every process of this machine. */
export function allProcesses(): ProcessFacts[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (factsOf(Number(name)) ?? []) : []))
}

/** Its program and arguments, for people. */
export function commandOf(pid: number): string {
  return (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').replaceAll(/\s+/g, ' ').trim()
}

/** Whether its environment holds this variable with this value. */
export function isMarked(pid: number, name: string, value: string): boolean {
  return (read(`/proc/${pid}/environ`) ?? '').split('\0').includes(`${name}=${value}`)
}

/** How many descriptors it has open; undefined when it is gone. */
export function descriptorsOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return undefined
  }
}

/**
 * Its resident memory in MiB; undefined when it is gone.
 *
 * @param pid - which process
 * @param part - all of it, or what is no file's
 */
export function residentMiB(pid: number, part: 'VmRSS' | 'RssAnon'): number | undefined {
  const kib = new RegExp(`^${part}:\\s+(\\d+) kB$`, 'm').exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return kib === undefined ? undefined : Number(kib) / 1024
}
