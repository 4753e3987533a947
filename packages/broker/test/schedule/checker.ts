/**
 * The checker: what clients of a broker saw, and whether a broker that keeps its promises may show it.
 *
 * - *V1* A receipt stands: the same message again has the same place, and what is delivered is what was receipted.
 * - *V2* Whatever was acked or claimed, and confirmed, is never delivered again.
 * - *V3* At most one incarnation gets a claim confirmed.
 * - *V4* Whatever a revocation took back (`withdrawn`, `unknown`) is never delivered afterwards and never claimed.
 * - *V5* A revocation says `claimed` only of what somebody tried to ack or claim.
 * - *V6* What was refused every time is never delivered.
 * - *V7* Messages of a mailbox and lane are delivered for the first time in the order of their places.
 * - *V8* In the end, every receipted message that nobody acked, claimed or revoked is there: delivered to the next
 *   consumer, or, in a closed mailbox, withdrawn (runs) or returned to its sender.
 */
import type { Revocation } from '@greenroom/proto'

interface Story {
  readonly to: string
  readonly kind: string
  seq: number | undefined
  content: string | undefined
  /** Attempts that may have been stored: not answered, or by `COMMIT_UNKNOWN`. */
  open: number
  wasTried: boolean
  isSettled: boolean
  claimedBy: string | undefined
  wasRevoked: boolean
  isRevoked: boolean
  wasDelivered: boolean
  wasDeliveredAtEnd: boolean
}

/** Collects what happened; `violations` says what must not. */
export class Checker {
  readonly violations: string[] = []
  readonly #stories = new Map<string, Story>()
  readonly #returned = new Set<string>()
  readonly #last = new Map<string, number>()
  #isEnd = false

  /** A message is sent, perhaps again; its answer is open. */
  sending(to: string, id: string, kind: string): void {
    const known = this.#stories.get(id)
    if (known !== undefined) {
      known.open += 1
      return
    }
    const story: Story = {
      to,
      kind,
      seq: undefined,
      content: undefined,
      open: 1,
      wasTried: false,
      isSettled: false,
      claimedBy: undefined,
      wasRevoked: false,
      isRevoked: false,
      wasDelivered: false,
      wasDeliveredAtEnd: false,
    }
    this.#stories.set(id, story)
  }

  /** It was refused, for sure. */
  refused(id: string): void {
    this.#story(id).open -= 1
  }

  receipted(id: string, seq: number, duplicate: boolean, content: string): void {
    const story = this.#story(id)
    if (story.isRevoked) this.#violate('V4', `${id} was receipted after its revocation`)
    if (story.seq !== undefined && (story.seq !== seq || !duplicate))
      this.#violate('V1', `${id} had place ${story.seq}, now ${seq}`)
    if (story.content !== undefined && story.content !== content)
      this.#violate('V1', `${id} was receipted with two contents`)
    story.seq = seq
    story.content = content
    story.open -= 1
  }

  /** @param isHeld - whether this consumer has it already */
  delivered(id: string, seq: number, lane: string, content: string, isHeld: boolean): void {
    const story = this.#story(id)
    if (story.isSettled) this.#violate('V2', `${id} was delivered after it was settled`)
    if (isHeld && this.#isEnd) this.#violate('V2', `${id} was delivered twice to one consumer`)
    if (story.isRevoked) this.#violate('V4', `${id} was delivered after its revocation`)
    if (story.seq === undefined && story.open === 0) this.#violate('V6', `${id} was delivered though it was refused`)
    if (story.content !== undefined && story.content !== content)
      this.#violate('V1', `${id} was delivered with other content`)
    const place = `${story.to} ${lane}`
    if (!story.wasDelivered && !story.wasRevoked && seq < (this.#last.get(place) ?? 0))
      this.#violate('V7', `${id} was overtaken`)
    this.#last.set(place, Math.max(seq, this.#last.get(place) ?? 0))
    story.wasDelivered = true
    if (this.#isEnd) story.wasDeliveredAtEnd = true
  }

  /** The sender of a message learned that it was not delivered. */
  returned(id: string): void {
    this.#returned.add(id)
    if (this.#story(id).isSettled) this.#violate('V2', `${id} was returned after it was settled`)
  }

  /** Somebody tries to ack or claim it. */
  trying(id: string): void {
    this.#story(id).wasTried = true
  }

  acked(id: string): void {
    this.#story(id).isSettled = true
  }

  claimed(id: string, by: string): void {
    const story = this.#story(id)
    if (story.claimedBy !== undefined && story.claimedBy !== by)
      this.#violate('V3', `${id} was claimed by ${story.claimedBy} and ${by}`)
    if (story.isRevoked) this.#violate('V4', `${id} was claimed after its revocation`)
    story.claimedBy = by
    story.isSettled = true
  }

  revoking(id: string): void {
    this.#story(id).wasRevoked = true
  }

  revoked(id: string, answer: Revocation): void {
    const story = this.#story(id)
    if (answer === 'claimed') {
      if (!story.wasTried) this.#violate('V5', `${id} counts as claimed though nobody took it`)
      return
    }
    if (story.claimedBy !== undefined) this.#violate('V4', `${id} was claimed by ${story.claimedBy}, and withdrawn`)
    story.isRevoked = true
  }

  /** From now on the last consumers collect what is left. */
  end(): void {
    this.#isEnd = true
  }

  /**
   * V8.
   *
   * @param isClosed - whether a mailbox is closed
   * @returns runs in closed mailboxes: revoking them must say `withdrawn`
   */
  finish(isClosed: (address: string) => boolean): readonly string[] {
    const withdrawn: string[] = []
    for (const [id, story] of this.#stories) {
      if (story.seq === undefined || story.wasTried || story.wasRevoked) continue
      if (!isClosed(story.to)) {
        if (!story.wasDeliveredAtEnd) this.#violate('V8', `${id} to ${story.to} was receipted and is lost`)
      } else if (story.kind === 'run') withdrawn.push(id)
      else if (!this.#returned.has(id)) this.#violate('V8', `${id} to ${story.to} was neither delivered nor returned`)
    }
    return withdrawn
  }

  /** Where a message was sent. */
  to(id: string): string {
    return this.#story(id).to
  }

  /** Something else that must not be. */
  violate(text: string): void {
    this.violations.push(text)
  }

  #story(id: string): Story {
    const story = this.#stories.get(id)
    if (story === undefined) throw new Error(`nobody ever sent ${id}`)
    return story
  }

  #violate(rule: string, text: string): void {
    this.violations.push(`${rule}: ${text}`)
  }
}
