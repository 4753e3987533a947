/**
 * The worker's side of Greenroom: all of `@greenroom/worker`, so that a worker file needs one package only.
 *
 * @packageDocumentation
 */
export * from '@greenroom/worker'
