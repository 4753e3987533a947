/** A site on loopback under a strict content policy: `@greenroom/proto` bundled for browsers, and the golden vectors. */
import { build } from 'esbuild'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import type { Report } from './replay.ts'

const policy = "default-src 'none'; script-src 'self'; connect-src 'self'"

/** Runs before everything that it is put in front of. */
const listener = `globalThis.violations = []
addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI))
`

const page = (...scripts: string[]): string =>
  `<!doctype html><title>proto</title>${scripts.map((script) => `<script type="module" src="${script}"></script>`).join('')}`

/** Compiles code, as zod would do: for the proof that this is noticed. */
const compiling = `${listener}
try { new Function('') } catch {}
await new Promise((resolve) => setTimeout(resolve))
await fetch('/report/compiling', { method: 'POST', body: JSON.stringify({ replayed: 0, wrong: [], violations }) })
`

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL('replay.ts', import.meta.url).pathname],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2024',
    conditions: ['@greenroom/source'],
    banner: { js: listener },
  })
  return outputFiles[0]?.text ?? ''
}

/** A site that is being served. */
export interface Site extends AsyncDisposable {
  readonly url: string
  /** The report of a `page`, of a `worker` or of the page that is `compiling`. */
  report(from: 'page' | 'worker' | 'compiling'): Promise<Report>
}

/** Serves the site on a free port of 127.0.0.1. */
export async function serveSite(): Promise<Site> {
  const vectors = new URL('vectors/', import.meta.resolve('@greenroom/proto/package.json'))
  const names = readdirSync(vectors)
  const files = new Map<string, readonly [type: string, body: string]>([
    ['/', ['text/html', page('/replay.js')]],
    ['/in-worker', ['text/html', page('/start-worker.js')]],
    ['/compiling', ['text/html', page('/compiling.js')]],
    ['/replay.js', ['text/javascript', await bundle()]],
    ['/start-worker.js', ['text/javascript', "new Worker('/replay.js', { type: 'module' })"]],
    ['/compiling.js', ['text/javascript', compiling]],
    ['/vectors', ['application/json', JSON.stringify(names)]],
    ...names.map(
      (name) => [`/vectors/${name}`, ['application/json', readFileSync(new URL(name, vectors), 'utf8')]] as const,
    ),
  ])
  const reports = {
    page: Promise.withResolvers<Report>(),
    worker: Promise.withResolvers<Report>(),
    compiling: Promise.withResolvers<Report>(),
  }
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    const [type, body] = files.get(path) ?? ['text/plain', '']
    const from = Object.entries(reports).find(([name]) => path === `/report/${name}`)
    if (from !== undefined) json(request).then((report) => from[1].resolve(report as Report), from[1].reject)
    response.writeHead(files.has(path) || from !== undefined ? 200 : 404, {
      'content-type': type,
      'content-security-policy': policy,
    })
    response.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    report: (from) => reports[from].promise,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
