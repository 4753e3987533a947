/** A payload for people and programs: as JSON where it is JSON, as text where it is text, else as base64. */
import { isJson, type JsonValue } from '@greenroom/proto'

/** What a payload is. */
export type PayloadView =
  | { readonly encoding: 'json'; readonly value: JsonValue }
  | { readonly encoding: 'text'; readonly value: string }
  | { readonly encoding: 'base64'; readonly value: string }

/** Looks at a payload. */
export function viewPayload(payload: Uint8Array): PayloadView {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload)
  } catch {
    return { encoding: 'base64', value: Buffer.from(payload).toString('base64') }
  }
  try {
    const value: unknown = JSON.parse(text)
    if (isJson(value)) return { encoding: 'json', value }
  } catch {
    // It is no JSON.
  }
  return { encoding: 'text', value: text }
}

/** A payload on a terminal, which must not obey it: control characters are written out. */
export function printPayload(view: PayloadView): string {
  const text = view.encoding === 'json' ? JSON.stringify(view.value, undefined, 2) : view.value
  const written = text.replaceAll(/[^\P{Cc}\n\t]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `payload as ${view.encoding}:\n${written}\n`
}
