/**
 * `fetch` for an MCP server over HTTP:
 *
 * - *F1* No message is larger than it may be: one that is ends its response, before it fills this process's memory.
 * - *F2* No stream stays open for what the server might say of itself: it would keep this program alive, and nobody listens. One that
 *   goes on with an answer (`Last-Event-ID`) is opened.
 */

/** What ends an event: an empty line. */
const ends = ['\n\n', '\n\r\n', '\r\r']

/**
 * Makes one.
 *
 * @param maxMessage - the longest message, in bytes
 */
export function boundedFetch(maxMessage: number): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return async (url, init = {}) => {
    const isListening = init.method === 'GET' && !new Headers(init.headers).has('last-event-id')
    if (isListening) return new Response(null, { status: 405 })
    const response = await fetch(url, init)
    if (response.body === null) return response
    const isStream = /^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')
    const { status, statusText, headers } = response
    const bounded = response.body.pipeThrough(bound(maxMessage, isStream))
    return new Response(bounded, { status, statusText, headers })
  }
}

/** A stream is a message an event, anything else is one as a whole. */
function bound(maxMessage: number, isStream: boolean): TransformStream<Uint8Array, Uint8Array> {
  let size = 0
  let tail = Buffer.alloc(0)
  return new TransformStream({
    transform(chunk, controller) {
      size += chunk.length
      if (isStream) {
        const seen = Buffer.concat([tail, chunk])
        const last = Math.max(...ends.map((end) => seen.lastIndexOf(end)))
        if (last !== -1) size = seen.length - last
        tail = seen.subarray(-2)
      }
      if (size > maxMessage) throw new Error(`a message exceeded the maximum size of ${maxMessage} bytes`)
      controller.enqueue(chunk)
    },
  })
}
