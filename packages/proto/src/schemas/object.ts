/**
 * How these schemas make their objects.
 *
 * zod checks an object with a function that it compiles by `new Function`, and finds out whether it may by trying, the
 * first time that an object is made. A page whose content security policy forbids it reports that attempt as a
 * violation, although zod then goes on without. So in a page or a web worker our objects are made with compilation
 * off. zod reads its setting only while it makes an object: it is changed for that moment and put back, and the zod
 * of the program around us stays as it was.
 */
import * as z from 'zod'

const inPage = 'document' in globalThis || 'WorkerGlobalScope' in globalThis

/**
 * Makes zod objects that never compile code where a content policy may forbid it.
 *
 * @param make - makes them, at once
 */
export function uncompiled<T>(make: () => T): T {
  if (!inPage) return make()
  const { jitless } = z.config()
  z.config({ jitless: true })
  try {
    return make()
  } finally {
    z.config({ jitless })
  }
}

/**
 * An object that keeps the fields it does not know: the protocol is read leniently.
 *
 * @param shape - the fields it knows
 */
export function looseObject<T extends z.core.$ZodLooseShape>(shape: T): ReturnType<typeof z.looseObject<T>> {
  return uncompiled(() => z.looseObject(shape))
}
