FROM maven:3.9-eclipse-temurin-21 AS build
COPY . /src
RUN mvn -f /src/pom.xml package

FROM build AS test
RUN mvn -f /src/pom.xml verify

FROM eclipse-temurin:21-jre
COPY --from=build /src/target/shop.jar /shop.jar
USER 1000
CMD ["java", "-jar", "/shop.jar"]
