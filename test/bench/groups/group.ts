/** What a group of rows is: it measures, and tells of each row as it is done. */
import type { Row } from '../row';

export type RowDone = (row: Row) => void;
export type Group = (done: RowDone) => Promise<void>;
