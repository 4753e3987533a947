/**
 * Languages, by file name: a table of our own, since the well-kept ones weigh megabytes and guess by content.
 * What is not in it is "Other".
 */

/** Extensions, without their dot and in lower case. */
const extensions: Readonly<Record<string, readonly string[]>> = {
  Assembly: ['asm', 's'],
  Astro: ['astro'],
  Batch: ['bat', 'cmd'],
  C: ['c', 'h'],
  'C#': ['cs'],
  'C++': ['cc', 'cpp', 'cxx', 'hh', 'hpp', 'hxx'],
  Clojure: ['clj', 'cljc', 'cljs', 'edn'],
  CMake: ['cmake'],
  CoffeeScript: ['coffee'],
  CSS: ['css'],
  CSV: ['csv', 'tsv'],
  Dart: ['dart'],
  Diff: ['diff', 'patch'],
  Dockerfile: ['dockerfile'],
  Elixir: ['ex', 'exs'],
  Elm: ['elm'],
  Erlang: ['erl', 'hrl'],
  'F#': ['fs', 'fsi', 'fsx'],
  Fortran: ['f', 'f90', 'f95', 'for'],
  Go: ['go'],
  GraphQL: ['gql', 'graphql'],
  Groovy: ['gradle', 'groovy'],
  Haskell: ['hs', 'lhs'],
  HTML: ['htm', 'html', 'xhtml'],
  INI: ['cfg', 'conf', 'ini', 'properties'],
  Java: ['java'],
  JavaScript: ['cjs', 'js', 'jsx', 'mjs'],
  JSON: ['json', 'json5', 'jsonc', 'jsonl', 'map', 'webmanifest'],
  Julia: ['jl'],
  'Jupyter Notebook': ['ipynb'],
  Kotlin: ['kt', 'kts'],
  Less: ['less'],
  Lisp: ['cl', 'el', 'lisp', 'rkt', 'scm'],
  Lua: ['lua'],
  Makefile: ['mak', 'mk'],
  Markdown: ['markdown', 'md', 'mdx'],
  MATLAB: ['matlab'],
  Nix: ['nix'],
  'Objective-C': ['m', 'mm'],
  OCaml: ['ml', 'mli'],
  Pascal: ['pas', 'pp'],
  Perl: ['pl', 'pm'],
  PHP: ['php', 'phtml'],
  PowerShell: ['ps1', 'psd1', 'psm1'],
  Prolog: ['pro', 'prolog'],
  'Protocol Buffers': ['proto'],
  Python: ['py', 'pyi', 'pyw'],
  R: ['r', 'rmd'],
  reStructuredText: ['rst'],
  Ruby: ['gemspec', 'rake', 'rb'],
  Rust: ['rs'],
  Sass: ['sass', 'scss'],
  Scala: ['sbt', 'sc', 'scala'],
  Shell: ['bash', 'fish', 'ksh', 'sh', 'zsh'],
  Solidity: ['sol'],
  SQL: ['sql'],
  Svelte: ['svelte'],
  SVG: ['svg'],
  Swift: ['swift'],
  TeX: ['bib', 'cls', 'sty', 'tex'],
  Terraform: ['hcl', 'tf', 'tfvars'],
  Text: ['text', 'txt'],
  TOML: ['toml'],
  TypeScript: ['cts', 'mts', 'ts', 'tsx'],
  'Visual Basic': ['bas', 'vb', 'vbs'],
  Vue: ['vue'],
  WebAssembly: ['wat'],
  XML: ['plist', 'xaml', 'xml', 'xsd', 'xsl', 'xslt'],
  YAML: ['yaml', 'yml'],
  Zig: ['zig', 'zon'],
}

/** Whole file names. */
const wholeNames: Readonly<Record<string, readonly string[]>> = {
  CMake: ['CMakeLists.txt'],
  Dockerfile: ['Dockerfile', 'Containerfile'],
  Groovy: ['Jenkinsfile'],
  INI: ['.editorconfig', '.gitconfig', '.npmrc'],
  Makefile: ['Makefile', 'GNUmakefile', 'makefile'],
  Ruby: ['Gemfile', 'Rakefile'],
  Shell: ['.bashrc', '.profile', '.zshrc'],
  Text: ['LICENSE', 'COPYING', 'NOTICE', 'README'],
}

const inverted = (table: typeof extensions): Map<string, string> =>
  new Map(Object.entries(table).flatMap(([language, keys]) => keys.map((key) => [key, language] as const)))

const byExtension = inverted(extensions)
const byName = inverted(wholeNames)

/**
 * The language of a file.
 *
 * @param path - its path; only the last part counts
 */
export function languageOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const dot = name.lastIndexOf('.')
  // `.md` is a hidden file without an extension, not Markdown.
  const extension = dot > 0 ? name.slice(dot + 1).toLowerCase() : ''
  return byName.get(name) ?? byExtension.get(extension) ?? 'Other'
}
