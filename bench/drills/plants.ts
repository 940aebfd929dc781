import type { World } from "./world.ts";

/**
 * Guarantees taken away, in the drill's own world and nowhere else: a drill that stays green without one of them proves
 * nothing. The product has no switch for this.
 */
export interface Plant {
  readonly name: string;
  /** Of the fault that it turns red. */
  readonly fault: string;
  plant(world: World): Promise<unknown>;
}

export const PLANTS: readonly Plant[] = [
  {
    name: "no fencing",
    fault: "a worker sleeps and wakes up late",
    // Whatever a write requires holds, and nothing else stops a second writer. That a run which is claimed is new stays required: the claim
    // would have no run to work on.
    plant: ({ look }) =>
      look(`
      CREATE OR REPLACE FUNCTION platform.require(holds boolean, otherwise text) RETURNS void LANGUAGE sql AS 'SELECT';
      ALTER FUNCTION platform.require_none(text[], text) RENAME TO require_none_of_claims;
      CREATE FUNCTION platform.require_none(keys text[], otherwise text) RETURNS void LANGUAGE plpgsql AS
        'BEGIN IF otherwise = ''AGENT_RUN_NOT_NEW'' THEN PERFORM platform.require_none_of_claims(keys, otherwise); END IF; END';
      ALTER TABLE agent.step DROP CONSTRAINT step_pkey; ALTER TABLE agent.message DROP CONSTRAINT message_pkey;
      CREATE FUNCTION agent.keep_fence() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.fence = OLD.fence; RETURN NEW; END';
      CREATE TRIGGER keep_fence BEFORE UPDATE ON agent.run FOR EACH ROW EXECUTE FUNCTION agent.keep_fence()`),
  },
  {
    name: "no idempotency",
    fault: "workers are killed before the world outside has answered",
    // The world outside does its work again when it is asked again with the same key.
    plant: ({ sink }) => {
      sink.forgetKeys();
      return Promise.resolve();
    },
  },
  {
    name: "no reconciler",
    // A call that is not answered is of a run that one of them holds; of runs between two steps neither need hold any.
    fault: "workers are killed before the world outside has answered",
    // What was once leased is due no more: only who holds it can bring it to its end.
    plant: ({ look }) =>
      look(`
      CREATE FUNCTION agent.forget_due() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.fence > OLD.fence AND NEW.lease_expires_at IS NOT NULL THEN NEW.due_at = NULL; END IF; RETURN NEW; END';
      CREATE TRIGGER forget_due BEFORE UPDATE ON agent.run FOR EACH ROW EXECUTE FUNCTION agent.forget_due()`),
  },
];
