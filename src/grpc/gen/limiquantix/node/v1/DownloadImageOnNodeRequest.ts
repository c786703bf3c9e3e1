// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * An image to download.
 */
export interface DownloadImageOnNodeRequest {
  /**
   * Id of the job; empty = the agent makes one.
   */
  'jobId'?: (string);
  'imageId'?: (string);
  /**
   * http or https.
   */
  'url'?: (string);
  /**
   * Absolute directory inside a pool or an allowed base directory.
   */
  'targetDir'?: (string);
  /**
   * One path component; empty = named after the catalog id or the URL.
   */
  'filename'?: (string);
  /**
   * `sha256:<hex>`, `sha512:<hex>` or bare hex; empty = none.
   */
  'checksum'?: (string);
  /**
   * `sha256` or `sha512`; empty = by length.
   */
  'checksumType'?: (string);
  /**
   * Pool that target_dir lies in; empty = found by the path.
   */
  'poolId'?: (string);
  /**
   * Names the file `<catalog_id>.qcow2` when filename is empty.
   */
  'catalogId'?: (string);
}

/**
 * An image to download.
 */
export interface DownloadImageOnNodeRequest__Output {
  /**
   * Id of the job; empty = the agent makes one.
   */
  'jobId': (string);
  'imageId': (string);
  /**
   * http or https.
   */
  'url': (string);
  /**
   * Absolute directory inside a pool or an allowed base directory.
   */
  'targetDir': (string);
  /**
   * One path component; empty = named after the catalog id or the URL.
   */
  'filename': (string);
  /**
   * `sha256:<hex>`, `sha512:<hex>` or bare hex; empty = none.
   */
  'checksum': (string);
  /**
   * `sha256` or `sha512`; empty = by length.
   */
  'checksumType': (string);
  /**
   * Pool that target_dir lies in; empty = found by the path.
   */
  'poolId': (string);
  /**
   * Names the file `<catalog_id>.qcow2` when filename is empty.
   */
  'catalogId': (string);
}
