// The openings of a job as one array per field, as its transfers are. As objects, an account took 12.5 µs in the messages
// between the main process and the thread, both ways.
import type { NewAccount, PersonalData } from './account.ts';
import { type Column, toColumn } from './column.ts';
import type { Orderer } from './transfer.ts';

/** An account that a unit of a job opens. */
export type UnitOpening = {
  /** The index of the unit in the job. */
  readonly unit: number;
  readonly account: NewAccount;
  readonly by: Orderer;
};

/** Openings as one array per field. A field that is null for every account is null. */
export type OpeningColumns = {
  readonly unit: readonly number[];
  readonly accountNumber: readonly string[];
  readonly currency: readonly string[];
  readonly name: Column<string>;
  readonly email: Column<string>;
  readonly phone: Column<string>;
  readonly dateOfBirth: Column<string>;
  readonly key: Column<string>;
  /** Null for 0, the most common limit. */
  readonly overdraftLimit: Column<bigint>;
  /** As JSON; null for none. */
  readonly metadata: Column<string>;
  readonly orderedBy: Column<string>;
  readonly approvedBy: Column<string>;
};

export function toOpeningColumns(openings: readonly UnitOpening[]): OpeningColumns {
  const column = <Value>(valueOf: (opening: UnitOpening) => Value | null) => toColumn(openings, valueOf);
  const personal = (field: keyof PersonalData) => column(({ account }) => account.personalData?.[field] ?? null);
  return {
    unit: openings.map(({ unit }) => unit),
    accountNumber: openings.map(({ account }) => account.accountNumber),
    currency: openings.map(({ account }) => account.currency),
    name: personal('name'),
    email: personal('email'),
    phone: personal('phone'),
    dateOfBirth: personal('dateOfBirth'),
    key: column(({ account }) => account.key),
    overdraftLimit: column(({ account }) => (account.overdraftLimit === 0n ? null : account.overdraftLimit)),
    metadata: column(({ account }) => renderMetadata(account.metadata)),
    orderedBy: column(({ by }) => by.orderedBy),
    approvedBy: column(({ by }) => by.approvedBy),
  };
}

export function fromOpeningColumns(columns: OpeningColumns): UnitOpening[] {
  const { unit: units, accountNumber, currency } = columns;
  return units.map((unit, index) => {
    const name = columns.name?.[index] ?? null;
    const metadata = columns.metadata?.[index] ?? null;
    return {
      unit,
      account: {
        accountNumber: accountNumber[index] ?? '',
        currency: currency[index] ?? '',
        personalData:
          name === null
            ? null
            : {
                name,
                email: columns.email?.[index] ?? null,
                phone: columns.phone?.[index] ?? null,
                dateOfBirth: columns.dateOfBirth?.[index] ?? null,
              },
        key: columns.key?.[index] ?? null,
        overdraftLimit: columns.overdraftLimit?.[index] ?? 0n,
        metadata: metadata === null ? {} : JSON.parse(metadata),
      },
      by: { orderedBy: columns.orderedBy?.[index] ?? null, approvedBy: columns.approvedBy?.[index] ?? null },
    };
  });
}

function renderMetadata(metadata: NewAccount['metadata']): string | null {
  const text = JSON.stringify(metadata);
  return text === '{}' ? null : text;
}
