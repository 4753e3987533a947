import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { serveSite } from './browser/site.ts'

const executablePath = '/usr/bin/chromium'
const here = existsSync(executablePath)
if (!here) console.log(`browser tests are skipped: there is no ${executablePath} (.ci/run installs it)`)

async function launch(): Promise<Browser & AsyncDisposable> {
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  const browser = await chromium.launch({ executablePath, args })
  return Object.assign(browser, { [Symbol.asyncDispose]: () => browser.close() })
}

/** Everything that the browser complains about, the content policy included. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() !== 'log') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  return complaints
}

describe.skipIf(!here)('in a browser whose content policy forbids eval, proto', { timeout: 60_000 }, () => {
  test.each([
    ['a page', 'page', '/'],
    ['a web worker', 'worker', '/in-worker'],
  ] as const)('replays every golden vector in %s, without a violation', async (_, from, path) => {
    await using site = await serveSite()
    await using browser = await launch()
    const page = await browser.newPage()
    const complaints = complaintsOf(page)
    await page.goto(site.url + path)
    const report = await site.report(from)
    expect(report.wrong).toEqual([])
    expect(report.replayed).toBeGreaterThan(500)
    expect([...report.violations, ...complaints]).toEqual([])
    console.log(`${report.replayed} vectors in ${from}`)
  })

  test('would be caught compiling code: a page that does is reported', async () => {
    await using site = await serveSite()
    await using browser = await launch()
    const page = await browser.newPage()
    await page.goto(`${site.url}/compiling`)
    expect((await site.report('compiling')).violations).toEqual(['script-src eval'])
  })
})
