/** Thrown inside the checker, never to its users: why a command line is refused, and where. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly at: number | undefined

  constructor(reason: string, at?: number) {
    super(reason)
    this.at = at
  }
}
