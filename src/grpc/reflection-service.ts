/** An ES module with the one name that is used of this CommonJS package, for the reason that platform/undici.ts gives. */
export { ReflectionService } from '@grpc/reflection'
