/** A member collects all its garbage when it is told to: so that what it holds can be told from what it would let go of. */
export function collectWhenTold(): void {
  process.on('SIGUSR2', () => {
    // The usual collection keeps a third of what it freed for what may come: that goes up and down by itself.
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  })
}
