/** What the agent uses of undici's index, as an ES module: a bundle in parts gives a CommonJS package that is imported at run time no named exports. */
export { Agent, buildConnector, Pool, request } from 'undici'
