/** Finding a program before it is started, so that a missing one is told by name. */
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import { GreenroomError } from '@greenroom/proto'

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/**
 * The absolute path of a program, looked up as `execvp` would in the program's own environment.
 *
 * @param command - a name to look up in `PATH`, or a path
 * @param cwd - the folder it will run in
 * @param path - the `PATH` it will run with
 * @throws GreenroomError `COMMAND_NOT_FOUND`
 */
export function findExecutable(command: string, cwd: string, path = '/usr/bin:/bin'): string {
  if (!isFolder(cwd)) throw new GreenroomError('COMMAND_NOT_FOUND', `no folder ${cwd} to run ${command} in`)
  const places = command.includes('/')
    ? [command]
    : path.split(delimiter).map((folder) => `${folder || '.'}/${command}`)
  const found = command === '' ? undefined : places.map((place) => resolve(cwd, place)).find(isExecutable)
  if (found === undefined) throw new GreenroomError('COMMAND_NOT_FOUND', `no program ${command}`)
  return found
}
