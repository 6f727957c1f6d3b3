/**
 * The mapping edge class -> direction as SQL, made from telemetry/edge-class.ts, so that there is
 * one truth. store/schema/012_traffic.sql holds this text; a test keeps it equal.
 */
import {
  EDGE_CLASSES,
  PERSPECTIVES,
  directionOf,
  type Perspective,
} from '../telemetry/edge-class.ts';

const list = (values: readonly string[]): string => values.map((v) => `'${v}'`).join(', ');

/** SQL expression for the direction of the edge class in `column`, as a String. */
export function directionSql(column: string, perspective: Perspective): string {
  const directions = EDGE_CLASSES.map((edgeClass) => directionOf(edgeClass, perspective));
  return `transform(toString(${column}), [${list(EDGE_CLASSES)}], [${list(directions)}], 'unknown')`;
}

/** The same with the perspective as the query's parameter {perspective:String}. */
export function directionByParameterSql(column: string): string {
  return `if({perspective:String} = 'whole', ${directionSql(column, 'whole')}, ${directionSql(column, 'split')})`;
}

/** SQL condition that ends the query, naming the choices, when {perspective:String} is none of them. */
export const PERSPECTIVE_CHECK_SQL = `throwIf({perspective:String} NOT IN (${list(PERSPECTIVES)}), 'perspective is one of: ${PERSPECTIVES.join(', ')}') = 0`;
