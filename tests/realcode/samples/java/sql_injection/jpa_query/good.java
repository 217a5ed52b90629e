package shop;

import java.util.List;
import javax.persistence.EntityManager;
import javax.ws.rs.GET;
import javax.ws.rs.Path;
import javax.ws.rs.QueryParam;

@Path("/users")
public class UserResource {
    private EntityManager entities;

    @GET
    public List<User> byRole(@QueryParam("role") String role) {
        String jpql = "select u from User u where u.role = :role";
        return entities.createQuery(jpql, User.class).setParameter("role", role).getResultList();
    }
}
