/** What a broker that is part of the command has to say, on standard error. */
import type { BrokerLogger } from '@greenroom/broker'

/**
 * How it is written.
 *
 * @param json - as lines of JSON in place of text
 */
export function brokerLogger(json: boolean): BrokerLogger {
  return json ? logJson : logText
}

const logJson: BrokerLogger = (level, event, facts) =>
  void process.stderr.write(`${JSON.stringify({ level, event, ...facts })}\n`)

const logText: BrokerLogger = (level, event, facts) => {
  const words = Object.entries(facts).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  process.stderr.write(`${[level, event, ...words].join(' ')}\n`)
}
