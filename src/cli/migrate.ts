// gopherpay migrate: brings the database to this version, as the owner of its tables, and grants the other roles their rights.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { limitedRolesOf } from '../db/ledger/grants.ts';
import { migrate as migrateDatabase } from '../db/ledger/migrate.ts';
import { databaseAs, parseArguments, withDatabases } from './command.ts';

const roleName = z.string().min(1, 'must be the name of a role').optional();

export const migrate = defineCommand({
  meta: {
    name: 'migrate',
    description: 'Apply the missing migrations as the owner of the tables, and grant the other roles their rights.',
  },
  args: {
    'runtime-role': { type: 'string', description: 'The role of the service (the user of DATABASE_URL)' },
    'reader-role': { type: 'string', description: 'The role of the reports (the user of DATABASE_READER_URL)' },
  },
  async run({ args }) {
    const options = parseArguments({ 'runtime-role': roleName, 'reader-role': roleName }, args);
    await withDatabases(readConfig(), async (databases) => {
      const owner = databaseAs(databases, 'owner');
      const known = limitedRolesOf({ ...databases, owner });
      const runtime = options['runtime-role'] ?? known.runtime;
      const reader = options['reader-role'] ?? known.reader;
      const { applied, placed } = await migrateDatabase(owner, { roles: { runtime, reader } });
      const granted = [
        ...(runtime === null ? [] : [`, rights of the service granted to ${runtime}`]),
        ...(reader === null || reader === runtime ? [] : [`, rights to read granted to ${reader}`]),
      ];
      const onNodes = placed === 0 ? '' : `, ${placed} tables placed on the nodes of Citus`;
      process.stderr.write(`${applied} migrations applied${onNodes}${granted.join('')}\n`);
    });
  },
});
