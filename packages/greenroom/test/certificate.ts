/** Certificates made on the spot, each its own authority. */
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What `openssl ca` wants to be told; of all ways to a certificate of the past it is the one that every version has. */
const authority = (names: string): string => `
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
subjectAltName = ${names}
[req]
distinguished_name = names
`

/**
 * Makes one.
 *
 * @param folder - where its files go
 * @param name - what they are called
 * @param options - `names`: for whom it is. = this machine; `year`: in which it holds. = from now on
 * @returns where they are
 */
export function makeCertificate(
  folder: string,
  name: string,
  { names = 'DNS:localhost,IP:127.0.0.1', year }: { readonly names?: string; readonly year?: number } = {},
): { readonly cert: string; readonly key: string } {
  const [cert, key, cwd] = [join(folder, `${name}.pem`), join(folder, `${name}.key`), join(folder, `${name}.made`)]
  mkdirSync(cwd)
  writeFileSync(join(cwd, 'ca.cnf'), authority(names))
  writeFileSync(join(cwd, 'index.txt'), '')
  const openssl = (words: string): unknown => execFileSync('openssl', words.split(' '), { cwd, stdio: 'ignore' })
  const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
  openssl(`req -new -config ca.cnf ${newKey} -subj /CN=localhost -keyout key -out csr`)
  const validity = year === undefined ? '-days 1' : `-startdate ${year}0101000000Z -enddate ${year}1231000000Z`
  openssl(`ca -batch -config ca.cnf -selfsign -keyfile key -in csr -rand_serial -notext ${validity} -out cert`)
  copyFileSync(join(cwd, 'cert'), cert)
  copyFileSync(join(cwd, 'key'), key)
  chmodSync(key, 0o600)
  return { cert, key }
}
