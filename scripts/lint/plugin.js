/** The lint rules that oxlint does not have. */

/** `new Date()` and `Date()` read the clock as much as `Date.now()` does; `new Date(ms)` does not. */
const noAmbientDate = {
  meta: { type: 'problem', docs: { description: 'Disallow reading the clock through Date' } },
  create(context) {
    const message = 'This reads the clock: take a Clock and use `new Date(clock.now())`.'
    const isDate = (node) => node.callee.type === 'Identifier' && node.callee.name === 'Date'
    return {
      NewExpression(node) {
        if (isDate(node) && node.arguments.length === 0) context.report({ node, message })
      },
      CallExpression(node) {
        if (isDate(node)) context.report({ node, message })
      },
    }
  },
}

const plugin = { meta: { name: 'greenroom' }, rules: { 'no-ambient-date': noAmbientDate } }
export default plugin
