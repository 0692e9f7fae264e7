// Reads the messages of piscina's errors, which have no codes.

/** Whether a thread ended while it ran the job, even by an error of its own. Otherwise the pool is full, or ends. */
export function isDeath(error: Error): boolean {
  return !/task queue is at|terminating worker thread|pool is (being )?clos/i.test(error.message);
}
