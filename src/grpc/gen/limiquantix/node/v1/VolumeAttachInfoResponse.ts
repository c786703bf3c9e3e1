// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * How a domain reaches a volume.
 */
export interface VolumeAttachInfoResponse {
  'volumeId'?: (string);
  'path'?: (string);
  'diskXml'?: (string);
}

/**
 * How a domain reaches a volume.
 */
export interface VolumeAttachInfoResponse__Output {
  'volumeId': (string);
  'path': (string);
  'diskXml': (string);
}
