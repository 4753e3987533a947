import { Converter, ReferenceType, ReflectionKind } from 'typedoc'

/**
 * What typedoc should see differently:
 *
 * - a zod schema of `@greenroom/proto/schemas` is shown as a `ZodType`, without the hundreds of inferred members
 *   inside it: the fields are documented once, at the interface that the schema satisfies;
 * - no documentation is demanded of what explains itself: the cells of a constant table, whose columns its own
 *   comment explains, and a property with one literal value, the tag of a union.
 *
 * @param {import('typedoc').Application} app
 */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const variable of project.getReflectionsByKind(ReflectionKind.Variable)) {
      if (!variable.isDeclaration() || variable.type === undefined || !within(variable, isSchemasModule)) continue
      project.removeTypeReflections(variable.type)
      variable.type = ReferenceType.createBrokenReference('ZodType', project, 'zod')
    }
  })
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    // All that the umbrella has is another package's: typedoc demands its documentation there.
    if (project.packageName === 'greenroom') return
    const plain = project
      .getReflectionsByKind(ReflectionKind.Property)
      .filter((property) => property.isDeclaration() && !property.hasComment())
      .filter((property) => property.type?.type === 'literal' || within(property, isVariable))
    app.options.setValue('intentionallyNotDocumented', [
      ...new Set(plain.map((property) => property.getFriendlyFullName())),
    ])
  })
}

/** @param {import('typedoc').Reflection} reflection */
const isSchemasModule = ({ kind, name }) => kind === ReflectionKind.Module && name === 'schemas'

/** @param {import('typedoc').Reflection} reflection */
const isVariable = ({ kind }) => kind === ReflectionKind.Variable

/**
 * Whether a reflection is inside of one that `matches`.
 *
 * @param {import('typedoc').Reflection} reflection
 * @param {(parent: import('typedoc').Reflection) => boolean} matches
 */
function within(reflection, matches) {
  for (let parent = reflection.parent; parent !== undefined; parent = parent.parent) {
    if (matches(parent)) return true
  }
  return false
}
