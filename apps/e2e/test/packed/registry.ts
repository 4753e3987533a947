/** A package registry on loopback that knows our packed packages and passes everything else on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { run } from './program.ts'

/** The repository's root. */
export const root = new URL('../../../../', import.meta.url).pathname

/** Every package that is published, with what it may bring along of ours. */
export async function publishedPackages(): Promise<{ name: string; folder: string }[]> {
  const folders = await readdir(join(root, 'packages'))
  return Promise.all(
    folders.map(async (folder) => {
      const manifest: unknown = JSON.parse(await readFile(join(root, 'packages', folder, 'package.json'), 'utf8'))
      if (typeof manifest !== 'object' || manifest === null || !('name' in manifest))
        throw new Error(`${folder} has no name`)
      return { name: String(manifest.name), folder: join(root, 'packages', folder) }
    }),
  )
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

/** A running registry. */
export interface Registry extends AsyncDisposable {
  readonly url: string
  /** Environment that makes npm and pnpm use it, with an empty home. */
  readonly env: NodeJS.ProcessEnv
}

const open = "'$all'"

/** Packs all packages and starts a registry that has them. */
export async function startRegistry(folder: string): Promise<Registry> {
  const uplink = (await run('npm', ['config', 'get', 'registry'], { cwd: root })).trim()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const home = join(folder, 'home')
  await mkdir(home)
  await writeFile(
    join(folder, 'verdaccio.yaml'),
    `storage: ${join(folder, 'storage')}
uplinks:
  npm: { url: ${JSON.stringify(uplink)}, timeout: 60s, maxage: 60m }
packages:
  '@greenroom/*': { access: ${open}, publish: ${open}, unpublish: ${open} }
  greenroom: { access: ${open}, publish: ${open}, unpublish: ${open} }
  '**': { access: ${open}, proxy: npm }
max_body_size: 100mb
log: { type: stdout, level: error }
`,
  )
  const require = createRequire(import.meta.url)
  const bin = join(require.resolve('verdaccio/package.json'), '..', 'bin', 'verdaccio')
  const child = spawn(
    process.execPath,
    [bin, '--config', join(folder, 'verdaccio.yaml'), '--listen', `127.0.0.1:${port}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, HOME: home },
    },
  )
  const exited = once(child, 'exit')
  child.stdout.resume()
  // A registry is ready when it answers; it says nothing before.
  for (let tries = 0; ; tries += 1) {
    const answer = await fetch(`${url}-/ping`).catch(() => undefined)
    if (answer?.ok === true) break
    if (tries > 300 || child.exitCode !== null) throw new Error('the registry did not start')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const env = {
    HOME: home,
    npm_config_registry: url,
    // pnpm does not read npm's variable.
    pnpm_config_registry: url,
    NPM_CONFIG_USERCONFIG: join(home, '.npmrc'),
    npm_config_cache: join(folder, 'npm-cache'),
    XDG_DATA_HOME: join(folder, 'data'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    CI: '',
  }
  await writeFile(join(home, '.npmrc'), `//127.0.0.1:${port}/:_authToken=local\n`)
  const tarballs = join(folder, 'tarballs')
  for (const { folder: cwd } of await publishedPackages())
    await run('pnpm', ['pack', '--pack-destination', tarballs], { cwd })
  for (const tarball of await readdir(tarballs))
    await run('npm', ['publish', join(tarballs, tarball), '--registry', url], { cwd: folder, env })
  return {
    url,
    env,
    [Symbol.asyncDispose]: async () => {
      child.kill()
      await exited
    },
  }
}
