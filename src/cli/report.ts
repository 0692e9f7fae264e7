import { defineCommand } from 'citty';
export const report = defineCommand({ meta: { name: 'report' }, run() {} });
