/** Which member is asked next. */
import { Members } from '../../lib/etcd/members';

const make = (first = 0) => {
  const all = ['a', 'b', 'c'].map((name) => ({ name, avoidedUntilMs: 0 }));
  return { all, members: new Members(all, first) };
};

test('the same one until it fails, then the next, which stays', () => {
  const { members } = make(2);
  expect(members.pick(0).name).toBe('c');
  expect(members.pick(0).name).toBe('c');
  members.failed(members.pick(0), 0);
  expect(members.pick(0).name).toBe('a');
  // Long after, too: nothing is gained by going back.
  expect(members.pick(1_000_000).name).toBe('a');
});

test('a member that failed a moment ago is passed over', () => {
  const { all, members } = make();
  members.failed(all[1], 0);
  members.failed(all[0], 10);
  expect(members.pick(10).name).toBe('c');
  members.failed(all[2], 5_005);
  expect(members.pick(5_005).name).toBe('b');
});

test('where all failed, they take turns', () => {
  const { members } = make();
  const asked: string[] = [];
  for (let nowMs = 0; nowMs < 6; nowMs++) {
    const member = members.pick(nowMs);
    asked.push(member.name);
    members.failed(member, nowMs);
  }
  expect(asked).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
});

test('late failures of calls on the old member do not move the new one', () => {
  const { all, members } = make();
  members.failed(all[0], 0);
  members.failed(all[0], 1);
  members.failed(all[0], 2);
  expect(members.pick(3).name).toBe('b');
});

test('one that answers is good again', () => {
  const { all, members } = make();
  for (const member of all) members.failed(member, 0);
  members.succeeded(all[2]);
  expect(members.pick(1).name).toBe('c');
});
