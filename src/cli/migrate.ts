// gopherpay migrate: brings the database to this version, as the owner of its tables, and grants the other roles their rights.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { limitedRolesOf } from '../db/ledger/grants.ts';
import { migrate as migrateDatabase } from '../db/ledger/migrate.ts';
import { databaseAs, parseArguments, withDatabases } from './command.ts';

const roleName = z.string().min(1, 'must be the name of a role');

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
    const options = parseArguments({ 'runtime-role': roleName.optional(), 'reader-role': roleName.optional() }, args);
    await withDatabases(readConfig(), async (databases) => {
      const owner = databaseAs(databases, 'owner');
      const known = limitedRolesOf({ ...databases, owner });
      const roles = {
        runtime: options['runtime-role'] ?? known.runtime,
        reader: options['reader-role'] ?? known.reader,
      };
      const { applied } = await migrateDatabase(owner, { roles });
      process.stderr.write(
        `${applied} migrations applied; role of the service: ${roles.runtime ?? 'the owner'}, of the reports: ${roles.reader ?? roles.runtime ?? 'the owner'}\n`,
      );
    });
  },
});
