/**
 * What a run wrote, for a terminal: nothing of it moves the cursor, reverses the direction of writing, or hides something.
 *
 * @param text - anything
 * @returns the same with all control characters spelled out
 */
export function plain(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}
