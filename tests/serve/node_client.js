// Asks a server by node-postgres: node_client.js PORT FLOWS

const assert = require('node:assert');
const { Client, Pool } = require('pg');

async function main(port, flows) {
  const options = { host: '127.0.0.1', port, user: 'ann', database: 'flowgap' };
  const client = new Client(options);
  await client.connect();
  const one = async (text, values) => Object.values((await client.query(text, values)).rows[0])[0];
  assert.equal(await one('SELECT count(*) FROM flows'), flows);
  assert.equal(await one('SELECT count(*) FROM flows WHERE dst_port < $1 AND src_ip <> $2', [65535, 'x']), flows);
  assert.equal(await one('SELECT count(*) FROM flows WHERE time > $1', [new Date(0)]), flows);
  assert.equal(await one('SELECT count(*) FROM flows WHERE decision = ANY($1)', [['allow', 'deny']]), flows);
  assert.ok((await one('SELECT min(time) FROM flows')) instanceof Date);
  const row = { a: null, b: true, c: 1.5, d: new Date(12345), e: 7 };
  for (const text of ['x', 'y']) {
    const query = {
      name: 'kept',
      text: 'SELECT $1::text a, $2::bool b, $3::float8 c, $4::timestamptz d, $5::int4 e, $6::text f',
      values: [...Object.values(row), text],
    };
    assert.deepEqual((await client.query(query)).rows[0], { ...row, f: text });
  }
  await assert.rejects(client.query('SELECT nope FROM flows'), { code: '42703', position: '8' });
  await assert.rejects(client.query('UPDATE flows SET dst_port = 1'), { code: '25006' });
  await client.end();
  const pool = new Pool({ ...options, max: 4 });
  const parts = [...Array(12).keys()].map((part) =>
    pool.query('SELECT count(*)::int4 n FROM flows WHERE src_port % 12 = $1', [part]));
  assert.equal((await Promise.all(parts)).reduce((sum, part) => sum + part.rows[0].n, 0), flows);
  await pool.end();
}

main(Number(process.argv[2]), Number(process.argv[3])).catch((error) => {
  console.error(error);
  process.exit(1);
});
