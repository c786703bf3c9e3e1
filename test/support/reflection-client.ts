import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { createRequire } from 'node:module'
import path from 'node:path'

const PROTOS = path.join(path.dirname(createRequire(import.meta.url).resolve('@grpc/reflection')), '../proto')
const OPTIONS = { longs: Number, enums: String, defaults: true, oneofs: true, includeDirs: [PROTOS] }

/** An answer of server reflection; one of its members is set. */
export interface ReflectionAnswer {
  readonly listServicesResponse: { readonly service: { readonly name: string }[] } | null
  readonly fileDescriptorResponse: { readonly fileDescriptorProto: Buffer[] } | null
  readonly errorResponse: { readonly errorCode: number } | null
}

/** The answers of a server's reflection service to questions sent on one stream, in order. */
export async function askReflection(
  target: string,
  version: 'v1' | 'v1alpha',
  questions: readonly object[],
): Promise<ReflectionAnswer[]> {
  const definitions = loadSync(`grpc/reflection/${version}/reflection.proto`, OPTIONS)
  const definition = definitions[`grpc.reflection.${version}.ServerReflection`] as grpc.ServiceDefinition
  const Client = grpc.makeGenericClientConstructor(definition, 'ServerReflection')
  const client = new Client(target, grpc.credentials.createInsecure())
  try {
    const open = client['ServerReflectionInfo'] as () => grpc.ClientDuplexStream<object, ReflectionAnswer>
    const stream = open.call(client)
    for (const question of questions) stream.write(question)
    stream.end()
    return (await stream.toArray()) as ReflectionAnswer[]
  } finally {
    client.close()
  }
}
