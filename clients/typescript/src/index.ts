// What the package exports.
export type { ConditionalOptions } from './accounts.ts';
export { GopherPay } from './client.ts';
export * from './errors.ts';
export type { EventFilter } from './events.ts';
export { Chain, type ChainOptions, type FollowOptions, type Position } from './feed.ts';
export type { ClientOptions, RequestOptions, WriteOptions } from './http.ts';
export type { TransferOptions } from './transfers.ts';
export { List, type Page } from './pages.ts';
export type * from './types.ts';
