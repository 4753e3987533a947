/** Certificates made on the spot, each its own authority. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A certificate for 127.0.0.1. */
export interface Made {
  readonly cert: string
  readonly key: string
}

/** What `openssl ca` wants to be told; of all ways to a certificate of the past it is the one that every version has. */
const authority = `
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = names
x509_extensions = uses
[names]
commonName = supplied
[uses]
subjectAltName = IP:127.0.0.1
[req]
distinguished_name = names
`

/**
 * Makes one.
 *
 * @param folder - where its files go
 * @param name - what they are called
 * @param year - in which it holds; by default from now on
 */
export function makeCertificate(folder: string, name: string, year?: number): Made {
  const cwd = join(folder, name)
  mkdirSync(cwd)
  writeFileSync(join(cwd, 'ca.cnf'), authority)
  writeFileSync(join(cwd, 'index.txt'), '')
  const openssl = (words: string): unknown => execFileSync('openssl', words.split(' '), { cwd, stdio: 'ignore' })
  openssl(
    `req -new -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=${name} -keyout key -out csr`,
  )
  const validity = year === undefined ? '-days 1' : `-startdate ${year}0101000000Z -enddate ${year}1231000000Z`
  openssl(`ca -batch -config ca.cnf -selfsign -keyfile key -in csr -rand_serial -notext ${validity} -out cert`)
  return { cert: readFileSync(join(cwd, 'cert'), 'utf8'), key: readFileSync(join(cwd, 'key'), 'utf8') }
}
