import packageJson from '../../package.json' with { type: 'json' }

/** The version of the agent, from package.json. */
export const VERSION: string = packageJson.version

/** How the agent names itself to servers. */
export const USER_AGENT = `limiquantix-node/${VERSION}`
