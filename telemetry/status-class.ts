/** Classes of HTTP statuses as metrics tell them apart: few, whatever a peer answers. */

/** Value of the label by the first digit of a status; `none` = no answer at all. */
export const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

/** Metric label that holds one of STATUS_CLASSES. */
export const STATUS_CLASS_LABEL = 'azimuth.status_class';
