import { describe } from 'vitest'
import { createMemoryStore, openStore, type Store } from '../src/index.ts'
import { schema, storeContract, type OpenFresh } from './contract.ts'
import { tempDir } from './temp-dir.ts'

const onDisk =
  (thread: boolean): OpenFresh =>
  async (freeBytes) => {
    const dir = tempDir()
    const store: Store = await openStore({ dir: dir.path, schema, thread, ...(freeBytes && { freeBytes }) })
    void store.closed.then(() => dir[Symbol.dispose]())
    return store
  }

const inMemory: OpenFresh = async (freeBytes) => createMemoryStore({ schema, ...(freeBytes && { freeBytes }) })

describe('SQLite, commits in a thread', () => {
  storeContract(onDisk(true))
})

describe('SQLite, commits on the own loop', () => {
  storeContract(onDisk(false))
})

describe('memory', () => {
  storeContract(inMemory)
})
