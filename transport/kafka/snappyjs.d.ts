/** The one function of snappyjs that codecs.ts uses; the package brings no types. */
declare module 'snappyjs' {
  /** Inflates one raw snappy block. Throws when it is damaged or longer than `bytesMax`. */
  export function uncompress(compressed: Buffer, bytesMax?: number): Buffer;
}
