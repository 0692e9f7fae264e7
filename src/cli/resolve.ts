// Parts of a command, which citty takes as values, as promises, or as functions that return either.

function isFunction<Value>(value: Value | (() => Value)): value is () => Value {
  return typeof value === 'function';
}

export async function resolve<Value>(value: Value | Promise<Value> | (() => Value | Promise<Value>)): Promise<Value> {
  return isFunction(value) ? await value() : await value;
}
