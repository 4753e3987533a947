/** `greenroom backup` and `greenroom restore`. */
import { resolve } from 'node:path'
import { brokerSchema } from '@greenroom/broker'
import { codeOf, GreenroomError, type BackupReceipt } from '@greenroom/proto'
import { backupFolder, isStoreError, restoreBackup } from '@greenroom/store'
import { asOperator, atItsOwner, folderOf, inUse, type OperatorAccess } from './operator-access.ts'
import { sizeOf } from './platform/data-folder.ts'
import { size } from './table.ts'

/** What `backup` is told. */
export interface BackupCommand extends OperatorAccess {
  /** The file to write. */
  readonly to: string
}

/** What `restore` is told. */
export interface RestoreCommand {
  /** The backup. */
  readonly from: string
  /** The data folder to make. */
  readonly data: string
  /** Write one document of JSON in place of text. */
  readonly json?: boolean
}

/**
 * Makes a backup; with `--json` it says `{"backup": {path, bytes}}`.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `DATA_DIR_IN_USE`, `STORE_DAMAGED`, `IO_FAILED`, `MISSING_FEATURE`, and whatever keeps
 * a broker from being asked
 */
export async function makeBackup(command: BackupCommand): Promise<void> {
  const data = folderOf(command)
  const backup =
    data === undefined
      ? await asOperator(command, (operator) => operator.backup(command.to))
      : await ofFolder(data, resolve(command.to))
  const text = `backed up to ${backup.path} (${size(backup.bytes)})\n`
  process.stdout.write(command.json === true ? `${JSON.stringify({ backup })}\n` : text)
}

async function ofFolder(data: string, path: string): Promise<BackupReceipt> {
  try {
    await backupFolder({ dir: data, to: path })
    return { path, bytes: sizeOf(path) }
  } catch (error) {
    const why = inUse(data, withFlag(error, { '--to': path }), 'Stop it, or let it do it: runner.backup(path).')
    return atItsOwner(data, why, (operator) => operator.backup(path))
  }
}

/**
 * Makes a data folder of a backup; with `--json` it says `{"restored": {data, backup: {id, at}}}`.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `DATA_DIR_IN_USE`, `STORE_DAMAGED`, `SCHEMA_TOO_NEW`, `IO_FAILED`
 */
export async function restore({ from, data, json = false }: RestoreCommand): Promise<void> {
  try {
    const backup = restoreBackup({ from, dir: data, schema: brokerSchema })
    const text = `restored ${data} from the backup of ${new Date(backup.at).toISOString()}: what happened since is not known, and the next start begins a new life\n`
    process.stdout.write(json ? `${JSON.stringify({ restored: { data, backup } })}\n` : text)
  } catch (error) {
    throw withFlag(error, { '--from': resolve(from) })
  }
}

/** The same error, with the flag that it is about: one of these files, else the data folder. */
function withFlag(error: unknown, files: Readonly<Record<string, string>>): unknown {
  const code = codeOf(error)
  if (code === undefined || !isStoreError(error)) return error
  const [flag] = Object.entries(files).find(([, path]) => path === error.path) ?? ['--data']
  return new GreenroomError(code, `${flag}: ${error.message}`, { cause: error })
}
