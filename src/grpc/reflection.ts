import { EventEmitter } from 'node:events'
import type { Server, ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { PackageDefinition } from '@grpc/proto-loader'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'

const VERSIONS = ['v1', 'v1alpha'] as const
type Version = (typeof VERSIONS)[number]
type Answer = (request: Buffer) => Buffer[]

/**
 * Registers server reflection, both versions of its protocol, so that tools such as grpcurl need no proto files. Descriptors are made at the first
 * question: only people at a shell ask, and start-up time counts.
 */
export function addReflection(
  server: Server,
  log: Logger,
  track: (call: ServerDuplexStream<Buffer, Buffer>) => void,
): void {
  let answers: Promise<Record<Version, Answer>> | undefined
  for (const version of VERSIONS) {
    const serve = (call: ServerDuplexStream<Buffer, Buffer>) => {
      track(call)
      let last = Promise.resolve()
      call.on('data', (request: Buffer) => {
        last = last.then(async () => {
          answers ??= loadAnswers()
          for (const answer of (await answers)[version](request)) call.write(answer)
        })
        last.catch((error: unknown) => {
          log.warn({ err: errorText(error) }, 'reflection request failed')
          call.emit('error', { code: 13, details: 'the reflection request could not be answered' })
        })
      })
      call.on(
        'end',
        () =>
          void last.then(
            () => call.end(),
            () => undefined,
          ),
      )
    }
    server.addService(rawDefinition(version), { ServerReflectionInfo: serve })
  }
}

// Bytes in, bytes out: the real codec is loaded with the rest.
function rawDefinition(version: Version): ServiceDefinition {
  const same = (bytes: Buffer) => bytes
  return {
    ServerReflectionInfo: {
      path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      requestStream: true,
      responseStream: true,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  }
}

async function loadAnswers(): Promise<Record<Version, Answer>> {
  const [{ ReflectionService }, { default: descriptors }] = await Promise.all([
    import('./reflection-service.ts'),
    import('./gen/descriptors.json', { with: { type: 'json' } }),
  ])
  // Of a package definition the service reads nothing but these.
  const fileDescriptorProtos = descriptors.files.map((file) => Buffer.from(file, 'base64'))
  const service = new ReflectionService({ described: { fileDescriptorProtos } } as unknown as PackageDefinition)
  const answers: Partial<Record<Version, Answer>> = {}
  // The package only knows how to add itself to a server; what it adds are a codec and a stream handler, which is all that is needed.
  service.addToServer({
    addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation) {
      const method = definition['ServerReflectionInfo']
      const handler = implementation['ServerReflectionInfo'] as unknown as ((stream: unknown) => void) | undefined
      const version = VERSIONS.find((v) => method?.path.startsWith(`/grpc.reflection.${v}.`))
      if (method === undefined || handler === undefined || version === undefined) return
      answers[version] = (request) => {
        const sent: Buffer[] = []
        const stream = Object.assign(new EventEmitter(), {
          write: (message: unknown) => sent.push(method.responseSerialize(message)),
          end: () => undefined,
        })
        handler(stream)
        stream.emit('data', method.requestDeserialize(request))
        return sent
      }
    },
  })
  const { v1, v1alpha } = answers
  if (v1 === undefined || v1alpha === undefined) throw new Error('@grpc/reflection did not add both services')
  return { v1, v1alpha }
}
